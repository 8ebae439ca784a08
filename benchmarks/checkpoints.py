"""Saving and loading 500 MB beside PyTorch: ``python benchmarks/checkpoints.py`` (half a minute).

Each library works in a process of its own, as a script does that loads once; they take turns. The
files lie in a folder under /tmp, or in the one that is given. Cresset's save is through when the
file is on the disk (``fsync``); PyTorch's leaves that to the system, so it is measured both ways.
Files are loaded from the system's memory.
Memory is what the peak adds to the process as it was before.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LAYERS, ROWS, COLUMNS = 100, 1250, 1000
ROUNDS = 3
LIBRARIES = ("cresset", "torch")


def resident(field: str) -> float:
    """Megabytes of this process: ``VmRSS`` now, ``VmHWM`` at most."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field))


def measured(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds, megabytes at the peak beyond those before, and the result."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = resident("VmRSS")
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    return seconds, resident("VmHWM") - before, result


def synced(path: str) -> None:
    with open(path, "rb") as f:
        os.fsync(f.fileno())


def _settle(folder: str) -> None:
    """Nobody waits for what another one has left to the system, nor is the first one to touch the
    memory that it keeps files in."""
    scratch = Path(folder, "scratch")
    scratch.write_bytes(bytes(4 * LAYERS * ROWS * COLUMNS))
    os.sync()
    scratch.unlink()
    os.sync()


def save(torch: Any, folder: str) -> dict[str, float]:
    state = {f"layer{i}.weight": torch.ones(ROWS, COLUMNS) for i in range(LAYERS)}
    for tensor in state.values():
        tensor.numpy()  # the values are there
    first, again = f"{folder}/{torch.__name__}.pt", f"{folder}/again.pt"
    torch.save({"x": torch.ones(3)}, again)
    _settle(folder)
    rows = {}
    rows["save"], rows["save, memory"], _ = measured(lambda: torch.save(state, first))
    _settle(folder)

    def with_sync() -> None:
        torch.save(state, again)
        if torch.__name__ == "torch":
            synced(again)

    rows["save, on the disk"], _, _ = measured(with_sync)
    os.unlink(again)
    return rows


def load(torch: Any, folder: str) -> dict[str, float]:
    path = f"{folder}/{torch.__name__}.pt"
    torch.save({"x": torch.ones(3)}, f"{folder}/small.pt")
    torch.load(f"{folder}/small.pt")  # whatever is imported at first use
    Path(path).read_bytes()  # a saved file need not be in the system's memory
    rows = {}
    rows["load"], rows["load, memory"], state = measured(lambda: torch.load(path))
    del state
    rows["load again"], _, state = measured(lambda: torch.load(path))
    del state
    rows["one tensor by mmap"], rows["one tensor by mmap, memory"], _ = measured(
        lambda: torch.load(path, mmap=True)["layer70.weight"].sum().item()
    )
    return rows


def child(library: str, what: str, folder: str) -> dict[str, float]:
    script = [sys.executable, __file__, "--child", library, what, folder]
    return json.loads(subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True).stdout)


def report(folder: str) -> str:
    """The table; the files lie in ``folder`` meanwhile."""
    there = [name for name in LIBRARIES if importlib.util.find_spec(name) is not None]
    found: dict[str, dict[str, list[float]]] = {name: {} for name in there}
    for _ in range(ROUNDS):
        for what in ("save", "load"):
            for library in there:
                for row, value in child(library, what, folder).items():
                    found[library].setdefault(row, []).append(value)
    lines = ["| work | Cresset | PyTorch | / Cresset |", "|---|---|---|---|"]
    for row, ours in found["cresset"].items():
        cells = [row]
        values = [ours, *([found["torch"][row]] if "torch" in found else [])]
        middles = [statistics.median(each) for each in values]
        for middle in middles:
            cells.append(f"{middle:.0f} MB" if "memory" in row else f"{middle * 1e3:.1f} ms")
        if len(middles) == 2:
            cells.append(f"{middles[1] / max(middles[0], 1e-9):.2f}")
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        module = importlib.import_module(sys.argv[2])
        print(json.dumps({"save": save, "load": load}[sys.argv[3]](module, sys.argv[4])))
    else:
        with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
            report(folder)
