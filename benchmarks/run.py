"""``make bench``: measures everything beside PyTorch, where it is installed, and writes the page.

``docs/benchmarks.md`` and ``docs/scaling.png`` are made anew by each whole run, which takes about
a quarter of an hour, much of it PyTorch's compiling where there is a C++ compiler for it.
``python benchmarks/run.py WORD`` prints the rows whose name contains the word.
"""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import checkpoints
import kernels
import recording
import startup
import timing
import workloads

import cresset
import data

#: PyTorch with its nets given to ``torch.compile``, which needs a C++ compiler.
COMPILED = "torch+compile"
DOCS = Path(__file__).parent.parent / "docs"

#: The page's text, with names in braces for what was measured.
PAGE = Path(__file__).with_name("page.md")


def _timed(name: str, table: str, modules: list[str], **environment: str) -> str:
    ours, *theirs = timing.by_turns(modules, table, name, **environment)
    cells = [name, timing.show(ours.seconds)]
    for other in theirs:
        cells += [timing.show(other.seconds), f"{other.seconds / ours.seconds:.2f}"]
    cells += [f"{timed.bytes / 1e6:.0f} MB" for timed in (ours, *theirs[:1])]
    return f"| {' | '.join(cells)} |"


def _table(table: str, modules: list[str], word: str = "", **environment: str) -> str:
    head = ["work", "Cresset"]
    for module in modules[1:]:
        head += ["torch.compile" if module == COMPILED else "PyTorch", "/ Cresset"]
    head += ["memory", "PyTorch's"][: min(len(modules), 2)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name in getattr(workloads, table):
        if word in name:
            lines.append(_timed(name, table, modules, **environment))
            print(lines[-1], flush=True)
    return "\n".join(lines)


def _scaling(modules: list[str]) -> str:
    """The table of times by batch size; the plot goes to a file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(workloads.GROWING), figsize=(12, 3.6), sharey=True)
    head = "| net | " + " | ".join(f"batch {b}" for b in workloads.SIZES) + " |"
    lines = [head, "|---" * (1 + len(workloads.SIZES)) + "|"]
    for net, panel in zip(workloads.GROWING, panels, strict=True):
        times: dict[str, list[float]] = {module: [] for module in modules}
        for batch in workloads.SIZES:
            found = timing.by_turns(modules, "SCALING", f"{net}, batch {batch}", rounds=7)
            for module, timed in zip(modules, found, strict=True):
                times[module].append(timed.seconds)
        names = {"cresset": "Cresset", "torch": "PyTorch"}
        for module, seconds in times.items():
            panel.loglog(workloads.SIZES, seconds, marker="o", label=names[module])
        if "torch" in times:
            ratios = [b / a for a, b in zip(times["cresset"], times["torch"], strict=True)]
            cells = [f"{r:.1f}" for r in ratios]
        else:
            cells = [timing.show(s) for s in times["cresset"]]
        lines.append(f"| {net} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
        panel.set_title(net)
        panel.set_xlabel("batch")
        panel.set_xticks(workloads.SIZES, [str(b) for b in workloads.SIZES])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds per training step")
    panels[0].legend()
    figure.tight_layout()
    figure.savefig(DOCS / "scaling.png", dpi=110)
    what = "PyTorch's time over Cresset's" if "torch" in modules else "Cresset's time"
    return f"{what}:\n\n" + "\n".join(lines)


def _kernels(top: float) -> str:
    lines = ["| net | kernel | output | GFLOP/s | of the peak |", "|---|---|---|---|---|"]
    found = kernels.rows()
    for row in found:
        shape = "x".join(map(str, row.shape))
        lines.append(
            f"| {row.net} | `{row.kernel}` | {shape} | {row.gflops:.0f} | {row.gflops / top:.0%} |"
        )
    middle = statistics.median(row.gflops for row in found) / top
    lines.append(f"\nHalf of them are at {middle:.0%} of the peak or more.")
    return "\n".join(lines)


def _machine(peer: object) -> str:
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        pass
    versions = [f"Python {platform.python_version()}", f"Cresset {cresset.__version__}"]
    if peer is not None:
        versions.append(f"PyTorch {getattr(peer, '__version__', '')}")
    day = f"{datetime.date.today():%-d %B %Y}"
    return f"{day}; {len(os.sched_getaffinity(0))} cores of {model}; {', '.join(versions)}."


def main() -> None:
    peer = timing.peer()
    modules = ["cresset"] + (["torch"] if peer is not None else [])
    if len(sys.argv) > 1:
        for table in ("TRAINING", "FORWARD", "LOOKING", "SCALING"):
            _table(table, modules, sys.argv[1])
        return
    print(_machine(peer))
    compiled = [COMPILED] if peer is not None and shutil.which("g++") else []
    training = _table("TRAINING", modules + compiled)
    forward = _table("FORWARD", modules + compiled)
    looking = _table("LOOKING", modules)
    first_tier = _table("TRAINING", modules, "CIFAR-10", CRESSET_COMPILE="0")
    scaling = _scaling(modules)
    loading, scripts = data.report(modules)
    with tempfile.TemporaryDirectory() as folder:
        saving = checkpoints.report(folder)
    top = kernels.peak()
    imports = startup.measure(modules)
    cold, warm = startup.first_steps()
    page = PAGE.read_text(encoding="utf-8").format(
        machine=_machine(peer), training=training, forward=forward, scaling=scaling,
        first_tier=first_tier, looking=looking, loading=loading, scripts=scripts, saving=saving,
        peak=top, kernels=_kernels(top),
        recording=recording.report(), cold=cold, warm=warm,
        imports=", ".join(f"{name} {s * 1e3:.0f} ms" for name, s in imports.items()),
    )  # fmt: skip
    (DOCS / "benchmarks.md").write_text(page, encoding="utf-8")
    print(f"wrote {DOCS / 'benchmarks.md'}")


if __name__ == "__main__":
    main()
